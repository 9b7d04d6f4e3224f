"""The report of the two experiments: text, tables and pictures, made from results.json alone."""
