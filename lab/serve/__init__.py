"""``lab serve``: the model of a run as a web service on this machine, and a page to try it."""
