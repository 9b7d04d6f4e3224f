"""Every file that tinyembed writes and reads again."""
