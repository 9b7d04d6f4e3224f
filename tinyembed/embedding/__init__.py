"""Trained models applied to music: the embeddings of files, scores and rolls."""
