"""What the commands share: options, exit statuses, and how a run ends."""
