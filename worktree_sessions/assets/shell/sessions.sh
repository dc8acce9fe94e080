# Completion runs this with sh: the sessions of the repository at $2, as "number name"; with $1 closed, the names of those
# that can be restored. It reads the records with grep and sed, because Python would take a tenth of a second.
common=$(git -C "${2:-.}" rev-parse --path-format=absolute --git-common-dir 2>/dev/null) &&
cd -- "$common/wts/$1" 2>/dev/null || exit 0
if [ "$1" = closed ]; then
    sed -n "s|^ \"name\": \"\([^\\\\\"]*\)\".*|\1|p" ./*/session.json
else
    grep "^ \"number\": " /dev/null ./*/session.json |
        sed -n "s|^\./\(.*\)/session\.json: *\"number\": \([0-9]*\).*|\2 \1|p"
fi 2>/dev/null | sort -n
