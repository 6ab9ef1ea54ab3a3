"""What every room uses: settings, the run folder, files, how things are shown, the process."""
