"""Published weights in Keras files, moved tensor by tensor into the networks of the catalogue."""
