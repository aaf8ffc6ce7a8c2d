"""What a task learns to give: classes, texts; shared by all modalities."""
