"""The engine: how operations run fast. Nothing in here changes what they compute."""

from tinyembed.backends.choice import use_default

use_default()
