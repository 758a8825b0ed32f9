"""Other passwords for logins, without refusing anybody."""
