"""Music in, embeddings out."""
