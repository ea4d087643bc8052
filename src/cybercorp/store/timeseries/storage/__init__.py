"""Where the bytes lie: SQLite or PostgreSQL, behind one contract."""
