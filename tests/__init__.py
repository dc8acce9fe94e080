"""The tests: promises a user could hold us to, kept with real git in throw-away repositories."""
