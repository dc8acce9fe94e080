"""What a person or a program sees: results to text, tables and JSON. The only floor that prints."""
