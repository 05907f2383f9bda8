"""Write a recipe for a CSV file: infer its columns, its target and its candidates."""
