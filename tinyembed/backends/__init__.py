"""How operations run fast: nothing here changes what they compute."""
