"""All files that tinyembed writes and reads again."""
