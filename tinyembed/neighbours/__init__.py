"""The units nearest to a unit, by cosine: exactly, or with faiss nearly so and sooner."""
