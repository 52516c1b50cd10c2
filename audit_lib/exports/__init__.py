"""What leaves the house: tables, figures, pages and lists of checksums, one module a kind of file."""
