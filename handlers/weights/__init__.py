"""Model files for engines that read them from folders: checked at start, brought from the model hub when missing."""
