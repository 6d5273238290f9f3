"""POST /estimate-body: from one photograph and a height to measures and a size."""
