"""What the commands share: options, exit statuses, progress."""
