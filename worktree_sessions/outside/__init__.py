"""The ground floor: the world as it is (git, Claude, terminals, files). It knows no session."""
