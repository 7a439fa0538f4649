"""The dataset's folder, its report and other ways out."""
