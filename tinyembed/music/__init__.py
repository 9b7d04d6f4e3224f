"""A MIDI file on its way to a batch of units. Nothing in here knows a layer or a model."""
