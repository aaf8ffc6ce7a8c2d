"""Open xlsx files, and read their headers. Imports nothing heavy."""

import io
import zipfile
import zlib

from blurr.data.formats.content import SourceFile
from blurr.data.formats.packed import check_growth

TIMES_OF_EXCEL = 100  # that an xlsx file may grow when it is unpacked: cells shrink to a tenth
# What openpyxl lets through where an archive or the XML in it is broken.
NOT_EXCEL = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RuntimeError, EOFError),
    *(SyntaxError, zlib.error, zipfile.BadZipFile),  # SyntaxError: of XML
)


def bounded(source: SourceFile) -> bytes:
    """Return the content of an xlsx file, an archive, unless it unpacks to far more than its size."""
    content = source.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        check_growth(sum(part.file_size for part in archive.infolist()), len(content), TIMES_OF_EXCEL, str(source))
    return content


def header_of_sheet(source: SourceFile) -> list[str] | None:
    """Return the names in the first row of a sheet; None if what they are takes reading it whole."""
    from openpyxl import load_workbook

    sheet = source.options.sheet
    try:
        book = load_workbook(io.BytesIO(bounded(source)), read_only=True, data_only=True)
        rows = (book[sheet] if isinstance(sheet, str) else book.worksheets[sheet]).iter_rows(values_only=True)
        names = [str(cell) for cell in next(rows, ()) if cell is not None]
    except NOT_EXCEL:  # an InputError, too: reading the rows says what is wrong
        return None
    return names if names and len(set(names)) == len(names) else None
