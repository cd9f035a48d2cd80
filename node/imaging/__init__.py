"""Volume geometry, slice selection, preparation of the model's input, heatmaps and the thorax phantom."""
