"""What a session is: names, records, events folded into a state, risks, plans. Pure, but for store and settings."""
