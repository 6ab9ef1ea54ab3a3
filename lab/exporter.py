"""JupyterLab's menu entry File > Save and Export Notebook As > Lab report (PDF)."""

from typing import Any

from nbconvert.exporters import Exporter

from lab_utils import LabError
from lab_utils.core.opening import current


class LabReport(Exporter):
    """Makes the report of the run that was opened last; the notebook itself is not converted."""

    export_from_notebook = "Lab report (PDF)"
    output_mimetype = "application/pdf"
    file_extension = ".pdf"

    def from_notebook_node(
        self, nb: Any, resources: dict[str, Any] | None = None, **options: Any
    ) -> tuple[bytes, dict[str, Any]]:
        """The PDF and nbconvert's resources; LabError where no run was opened or it has no step."""
        from lab.report import build  # Typst is loaded only where it is asked for

        run = current()
        if run is None:
            raise LabError("No run was opened yet; run the first cells of a notebook.")
        _, resources = super().from_notebook_node(nb, resources, **options)
        return build(run).read_bytes(), resources | {"output_extension": ".pdf"}
