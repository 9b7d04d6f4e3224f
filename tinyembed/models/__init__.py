"""The networks of the paper and of tinyembed, and what each is trained for."""
