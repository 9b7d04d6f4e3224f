"""Music of any size: what `--data` names, and stores, which hold collections on disk."""
