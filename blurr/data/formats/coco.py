"""Read COCO's json: pictures, and the boxes of the objects in them, as one row per picture."""

from typing import Any

from blurr.data.formats.content import Row
from blurr.errors import InputError, shortened

PARTS = ("images", "annotations")


def is_coco(content: Any) -> bool:
    """Say whether parsed json lists pictures and annotations as COCO does."""
    return isinstance(content, dict) and all(isinstance(content.get(part), list) for part in PARTS)


def coco_rows(content: dict[str, Any], where: str) -> list[Row]:
    """Make a row of each picture.

    Args:
        content: `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "category_id", "bbox"}], "categories":
            [{"id", "name"}]}`; other keys are left out.
        where: Where it is from, for messages.

    Returns:
        Rows with `image`, the path, and `boxes`: dicts with the name of the category as `label`, `bbox` (left, top,
        width, height) and `iscrowd`.

    Raises:
        InputError: It is not laid out so, or an annotation is of a picture or a category that is not there.
    """
    try:
        names = {each["id"]: str(each["name"]) for each in content.get("categories") or []}
        rows: dict[Any, Row] = {
            each["id"]: {"image": str(each["file_name"]), "boxes": []} for each in content[PARTS[0]]
        }
        for number, each in enumerate(content[PARTS[1]], start=1):
            picture, kind = each["image_id"], each["category_id"]
            if picture not in rows or (names and kind not in names):
                raise InputError(
                    f"{where}: annotation {number} is of the picture {picture!r:.40} and the category {kind!r:.40}, "
                    f"and there is no such {'category' if picture in rows else 'picture'}. Correct the file."
                )
            crowd = bool(each.get("iscrowd", 0))
            label = names.get(kind, str(kind))
            rows[picture]["boxes"].append({"label": label, "bbox": each.get("bbox"), "iscrowd": crowd})
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{where} is not laid out as COCO, with id and file_name of each of images, image_id and category_id of "
            f"each of annotations, and id and name of each of categories: {shortened(str(error))} is missing or wrong."
        ) from error
    return list(rows.values())
