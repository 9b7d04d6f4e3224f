"""What a trained model is worth: the measures, none of which a model is trained on."""
