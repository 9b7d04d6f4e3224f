"""The two experiments of section 5 and their statistics: what a trained model is worth."""
