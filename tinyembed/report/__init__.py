"""The report of the two experiments: words, tables and pictures from results.json alone."""
