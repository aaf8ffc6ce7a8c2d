"""All that knows about Hugging Face text models."""
