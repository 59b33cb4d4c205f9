"""What is shipped beside the code: image, composition, unit, manifests."""
