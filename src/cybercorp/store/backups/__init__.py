"""Everything a server knows, as one portable file, from SQLite or PostgreSQL and into either."""
