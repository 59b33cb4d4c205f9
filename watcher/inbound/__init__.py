"""What backends tell us by webhook: the kinds, and applying each once."""
