"""Why a model answers as it does: Grad-CAM, damaged images, attacks."""
