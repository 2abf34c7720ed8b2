import importlib.metadata
import json
import shutil

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
import transformers
from tasks_samples import image_arrays, save_base, save_image_folder

from hpsearch.data.dataset import open_dataset
from hpsearch.data.images import read_images
from hpsearch.errors import DataError, TaskError
from hpsearch.tasks import ImageClassification, ImageRegression
from hpsearch.tasks.classes.labels import probabilities
from hpsearch.tasks.heads import draw_head
from hpsearch.tasks.pixels import PixelEncoder, load_processor
from hpsearch.tasks.pretrained import quiet

ROWS = np.arange(8)


def save_processor(folder, kind, **settings):
    """Write a processor without torchvision: `kind` is the name of its class."""
    getattr(transformers, kind)(**settings).save_pretrained(folder)
    return folder


def processed(folder, images):
    """Return what the processor in `folder` makes of PIL images or arrays by itself."""
    with quiet():
        return load_processor(str(folder))(images, return_tensors="pt")["pixel_values"]


def outputs(learner, model, rows=ROWS):
    with torch.no_grad():
        return learner.outputs(model.eval(), learner.batch(rows, 16)).numpy()


PROCESSORS = {
    "vit": ("ViTImageProcessorPil", {"size": {"height": 16, "width": 16}}),
    "bit": (
        "BitImageProcessorPil",
        {"size": {"shortest_edge": 18}, "crop_size": {"height": 16, "width": 16}, "resample": 3},
    ),
    "convnext": ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 16}, "crop_pct": 0.8}),
    "efficientnet": (
        "EfficientNetImageProcessorPil",
        {"size": {"height": 16, "width": 16}, "rescale_offset": True, "include_top": False},
    ),
    "plain": ("ViTImageProcessorPil", {"size": {"height": 16, "width": 16}, "do_normalize": False}),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_batches_are_what_the_processor_gives(name, vit_folder, tmp_path):
    kind, settings = PROCESSORS[name]
    model = save_processor(shutil.copytree(vit_folder, tmp_path / "model"), kind, **settings)
    images = save_image_folder(tmp_path / "images")
    task = ImageClassification(model, train=images)
    prepared = task.prepare(tmp_path / "cache")
    dataset = open_dataset(prepared.folder)
    assert dataset["pixels"].dtype == np.uint8
    assert dataset["pixels"].shape == (8, 3, 16, 16)
    files = sorted((images / "cat").iterdir()) + sorted((images / "dog").iterdir())
    expected = processed(model, [PIL.Image.open(file) for file in files])
    batch = task.learner(prepared).batch(ROWS, 16)
    assert set(batch) == {"pixel_values"}
    assert batch["pixel_values"].dtype == torch.float32
    assert (batch["pixel_values"] - expected).abs().max() < 1e-6
    assert (prepared.judge.classes, dataset["targets"].tolist()) == (("cat", "dog"), [0] * 4 + [1] * 4)


def test_a_processor_that_does_more_is_kept_as_its_numbers(vit_folder, tmp_path):
    """EfficientNet's normalizes a second time, whatever it is asked, so its bytes cannot be had."""
    model = save_processor(
        shutil.copytree(vit_folder, tmp_path / "model"),
        "EfficientNetImageProcessorPil",
        size={"height": 16, "width": 16},
        include_top=True,
    )
    images = save_image_folder(tmp_path / "images")
    task = ImageClassification(model, train=images)
    prepared = task.prepare(tmp_path / "cache")
    assert open_dataset(prepared.folder)["pixels"].dtype == np.float32
    files = sorted((images / "cat").iterdir()) + sorted((images / "dog").iterdir())
    expected = processed(model, [PIL.Image.open(file) for file in files])
    assert (task.learner(prepared).batch(ROWS, 16)["pixel_values"] - expected).abs().max() < 1e-6


def test_without_a_processor_images_are_brought_to_the_models_size(vit_folder, tmp_path):
    images, labels = image_arrays(size=24)
    task = ImageClassification(vit_folder, train=(images, labels), test=(images[:4], labels[:4]))
    prepared = task.prepare(tmp_path)
    assert (prepared.rows, prepared.test_rows, prepared.judge.classes) == (12, 4, ("dark", "light"))
    resized = np.stack([np.asarray(PIL.Image.fromarray(image).resize((16, 16), 2)) for image in images])
    expected = np.moveaxis((resized.astype(np.float64) / 255.0 - 0.5) / 0.5, -1, 1)
    learner = task.learner(prepared)
    assert np.abs(learner.batch(np.arange(12), 16)["pixel_values"].numpy() - expected).max() < 1e-6
    assert learner.lengths.tolist() == [1] * 12
    assert len(learner.layers(learner.load_model())) == 4


def test_a_grey_model_reads_grey_images(tmp_path):
    folder = save_base("vit", tmp_path / "model", num_channels=1)
    images, labels = image_arrays(channels=None)
    task = ImageClassification(folder, train=(images, labels))
    prepared = task.prepare(tmp_path / "cache")
    learner = task.learner(prepared)
    expected = (images.astype(np.float64) / 255.0 - 0.5) / 0.5
    assert np.abs(learner.batch(np.arange(12), 16)["pixel_values"].numpy()[:, 0] - expected).max() < 1e-6
    model = learner.load_model()
    torch.manual_seed(0)
    draw_head(model)
    task.save(model, tmp_path / "saved", prepared)
    with quiet():
        pipeline = transformers.pipeline("image-classification", str(tmp_path / "saved"), device="cpu")
    theirs = [{each["label"]: each["score"] for each in pipeline(image[None])}["light"] for image in images]
    ours = probabilities(outputs(learner, model, np.arange(12)), "binary")[:, 1]
    assert np.abs(ours - theirs).max() < 1e-5


def test_grey_images_for_a_colour_model_and_colour_images_for_a_grey_one(vit_folder, tmp_path):
    grey, labels = image_arrays(channels=None)
    colour = np.repeat(grey[..., None], 3, axis=-1)
    plain = ImageClassification(vit_folder, train=(grey, labels))
    tripled = ImageClassification(vit_folder, train=(colour, labels))
    first = open_dataset(plain.prepare(tmp_path / "cache").folder)["pixels"]
    assert np.array_equal(first, open_dataset(tripled.prepare(tmp_path / "cache").folder)["pixels"])
    folder = save_base("vit", tmp_path / "model", num_channels=1)
    reduced = ImageClassification(folder, train=(colour, labels)).prepare(tmp_path / "cache")
    assert np.array_equal(open_dataset(reduced.folder)["pixels"][:, 0], grey)


def test_floats_from_0_to_1_become_bytes(vit_folder, tmp_path):
    images, labels = image_arrays()
    same = ImageClassification(vit_folder, train=(images / 255.0, labels)).prepare(tmp_path)
    assert np.array_equal(open_dataset(same.folder)["pixels"], np.moveaxis(images, -1, 1))
    with pytest.raises(DataError, match="must lie from 0 to 1"):
        ImageClassification(vit_folder, train=(images / 16.0, labels)).prepare(tmp_path)


def test_a_convolutional_network_takes_the_size_of_the_arrays(tmp_path):
    folder = save_base("resnet", tmp_path / "model")
    task = ImageClassification(folder, train=image_arrays(size=20))
    prepared = task.prepare(tmp_path / "cache")
    assert open_dataset(prepared.folder)["pixels"].shape == (12, 3, 20, 20)
    learner = task.learner(prepared)
    model = learner.load_model()
    assert outputs(learner, model).shape == (8, 2)
    assert learner.layers(model)[0] == [model.resnet.embedder]
    other = ImageClassification(folder, train=image_arrays(size=20), image_size=12).prepare(tmp_path / "cache")
    assert open_dataset(other.folder)["pixels"].shape == (12, 3, 12, 12)


@pytest.mark.parametrize("name", ["vit", "bit", "convnext"])
def test_a_size_of_ones_own(name, tmp_path):
    kind, settings = PROCESSORS[name]
    model = save_processor(save_base("resnet", tmp_path / "model"), kind, **settings)
    task = ImageClassification(model, train=save_image_folder(tmp_path / "images"), image_size=12)
    assert open_dataset(task.prepare(tmp_path / "cache").folder)["pixels"].shape == (8, 3, 12, 12)


@pytest.mark.parametrize("name", ["vit", "bit", None])
def test_a_saved_model_in_a_pipeline(name, vit_folder, tmp_path):
    model_folder = shutil.copytree(vit_folder, tmp_path / "model")
    if name is not None:
        kind, settings = PROCESSORS[name]
        save_processor(model_folder, kind, **settings)
    images = save_image_folder(tmp_path / "images")
    task = ImageClassification(model_folder, train=images)
    prepared = task.prepare(tmp_path / "cache")
    learner = task.learner(prepared)
    model = learner.load_model()
    torch.manual_seed(1)
    draw_head(model)
    with torch.no_grad():
        model.classifier.weight.mul_(30.0)
    task.save(model, tmp_path / "saved", prepared)
    with quiet():
        pipeline = transformers.pipeline("image-classification", str(tmp_path / "saved"), device="cpu")
    files = sorted((images / "cat").iterdir()) + sorted((images / "dog").iterdir())
    theirs = [{each["label"]: each["score"] for each in pipeline(str(file))}["dog"] for file in files]
    ours = probabilities(outputs(learner, model), prepared.judge.kind)[:, 1]
    assert ours.std() > 0.01
    assert np.abs(ours - theirs).max() < 1e-5


def test_a_table_of_paths_with_groups_and_weights(vit_folder, tmp_path, monkeypatch):
    images = save_image_folder(tmp_path / "images")
    files = [str(path.relative_to(tmp_path)) for path in sorted(images.rglob("*.png"))]
    table = pd.DataFrame({"file": files, "animal": [file.split("/")[1] for file in files], "site": [0, 0, 1, 1] * 2})
    table["weight"] = np.linspace(1, 2, 8)
    table.to_csv(tmp_path / "rows.csv", index=False)
    columns = {"image": "file", "label": "animal", "group": "site", "sample_weight": "weight"}
    monkeypatch.chdir(tmp_path)
    from_frame = ImageClassification(vit_folder, train=table, **columns)
    from_file = ImageClassification(vit_folder, train="rows.csv", **columns)
    monkeypatch.chdir("/")  # paths mean what they meant when the task was made
    first, second = from_frame.prepare(tmp_path / "cache"), from_file.prepare(tmp_path / "cache")
    assert first == second
    dataset = open_dataset(first.folder)
    assert dataset["groups"].tolist() == [0, 0, 1, 1] * 2
    assert dataset["weights"].tolist() == pytest.approx(table["weight"].tolist())
    folder = ImageClassification(vit_folder, train=images).prepare(tmp_path / "cache")
    assert np.array_equal(open_dataset(folder.folder)["pixels"], dataset["pixels"])
    kept = from_frame.snapshot(tmp_path / "kept")
    assert kept == from_frame
    assert kept.prepare(tmp_path / "cache") == first


def test_prepared_once(vit_folder, tmp_path, monkeypatch):
    images = save_image_folder(tmp_path / "images")
    task = ImageClassification(vit_folder, train=images)
    first = task.prepare(tmp_path / "cache")
    monkeypatch.setattr("hpsearch.tasks.pixels.PixelEncoder.encode", None)  # must not be needed again
    assert task.prepare(tmp_path / "cache") == first
    monkeypatch.undo()
    image = PIL.Image.open(images / "cat" / "000.png")
    image.putpixel((0, 0), (1, 2, 3))
    image.save(images / "cat" / "000.png")
    changed = task.prepare(tmp_path / "cache")
    assert changed.data_digest != first.data_digest
    assert changed.model_digest == first.model_digest


def test_pixels_of_another_pillow_are_other_data(vit_folder, tmp_path, monkeypatch):
    """It is no part of the numerics, so that it changes the data's digest too."""
    task = ImageClassification(vit_folder, train=image_arrays())
    first = task.prepare(tmp_path)
    known = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.0" if name == "pillow" else known(name))
    second = task.prepare(tmp_path)
    assert second.folder != first.folder
    assert second.data_digest != first.data_digest


def test_a_broken_image_is_named(vit_folder, tmp_path):
    images = save_image_folder(tmp_path / "images")
    (images / "dog" / "001.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"001\.png"):
        ImageClassification(vit_folder, train=images).prepare(tmp_path / "cache")


def test_images_of_different_sizes(vit_folder, tmp_path):
    model = save_processor(
        shutil.copytree(vit_folder, tmp_path / "model"),
        "BitImageProcessorPil",
        size={"shortest_edge": 16},
        do_center_crop=False,
    )
    images = save_image_folder(tmp_path / "images")
    PIL.Image.new("RGB", (60, 20)).save(images / "dog" / "zzz.png")
    with pytest.raises(TaskError, match="makes images of different sizes"):
        ImageClassification(model, train=images).prepare(tmp_path / "cache")


def test_a_size_that_the_model_does_not_take(vit_folder, tmp_path):
    with pytest.raises(TaskError, match=r"does not take the rows as they are prepared.*give image_size="):
        ImageClassification(vit_folder, train=image_arrays(), image_size=20).prepare(tmp_path)


def test_channels_that_do_not_match(tmp_path):
    folder = save_base("vit", tmp_path / "model", num_channels=1)
    save_processor(folder, "ViTImageProcessorPil", size={"height": 16, "width": 16}, image_mean=[0.1, 0.2, 0.3])
    with pytest.raises(TaskError, match="for 3 channels, and the model reads 1"):
        ImageClassification(folder, train=image_arrays()).prepare(tmp_path / "cache")
    folder = save_base("vit", tmp_path / "five", num_channels=5)
    with pytest.raises(TaskError, match="reads images of 5 channels"):
        ImageClassification(folder, train=image_arrays()).prepare(tmp_path / "cache")


def test_a_damaged_processor(vit_folder, tmp_path):
    model = shutil.copytree(vit_folder, tmp_path / "model")
    (model / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "NoSuchProcessor"}))
    with pytest.raises(TaskError, match=r"image processor of .* cannot be loaded"):
        ImageClassification(model, train=image_arrays()).prepare(tmp_path / "cache")


def test_columns_are_for_tables_and_sizes_are_whole(vit_folder, tmp_path):
    with pytest.raises(DataError, match="has no columns"):
        ImageClassification(vit_folder, train=save_image_folder(tmp_path / "images"), label="animal").prepare(tmp_path)
    with pytest.raises(TaskError, match="image_size=0"):
        ImageClassification(vit_folder, train="images", image_size=0)


def test_a_config_whose_number_of_labels_is_no_matter_of_their_names(tmp_path):
    """PVT has a number of its own, 1000 where nobody says another."""
    task = ImageClassification(save_base("pvt", tmp_path / "pvt"), train=image_arrays(12, 32))
    prepared = task.prepare(tmp_path / "cache")
    model = task.learner(prepared).load_model()
    assert model.classifier.out_features == 2
    task.save(model, tmp_path / "saved", prepared)
    again = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "saved")
    assert again.classifier.out_features == again.config.num_labels == 2
    assert again.config.id2label == {0: "dark", 1: "light"}


def save_deep_folder(folder, high, low=0, dtype=np.uint16, rows=8, seed=5):
    """Write images of more than 8 bits into a folder for each of two classes; all values are used."""
    random = np.random.default_rng(seed)
    for row in range(rows):
        place = folder / ("cat", "dog")[row % 2]
        place.mkdir(parents=True, exist_ok=True)
        values = np.linspace(low, high, 16 * 16).reshape(16, 16)[random.permutation(16)].astype(dtype)
        PIL.Image.fromarray(values).save(place / f"{row}.{'png' if dtype == np.uint16 else 'tif'}")
    return folder


def read_as_the_card_says(task, prepared):
    """Return what the model card's lines read files with, or None where the pipeline is given them."""
    code = task.how_to_call(prepared)
    assert compile(code, "card", "exec")
    if "def read" not in code:
        return None
    defined = {}
    exec(code.split("from transformers")[0], defined)
    return defined["read"]


@pytest.mark.parametrize(
    ("settings", "ranges"),
    [
        ({"high": 255}, {"whole": [0, 255]}),
        ({"high": 4095}, {"whole": [0, 4095]}),
        ({"high": 65535}, {"whole": [0, 65535]}),
        ({"high": 900, "low": -1000, "dtype": np.int32}, {"whole": [-1000, 900]}),
        ({"high": 1, "dtype": np.float32}, {"float": [0, 1]}),
        ({"high": 70.5, "dtype": np.float32}, {"float": [0, 70.5]}),
    ],
)
def test_deep_pixels_keep_their_levels_and_the_card_reads_them_so(vit_folder, tmp_path, settings, ranges):
    """The issue's case: values 0 to 255 in 16 bits were 2 levels, those of 12 bits at most 16."""
    images = save_deep_folder(tmp_path / "images", **settings)
    task = ImageClassification(vit_folder, train=images)
    prepared = task.prepare(tmp_path / "cache")
    dataset = open_dataset(prepared.folder)
    assert np.unique(dataset["pixels"]).size >= 254
    assert dataset.facts["ranges"] == ranges
    assert sum("pixels of more than 8 bits" in warning for warning in prepared.warnings) == 1
    read = read_as_the_card_says(task, prepared)
    assert (read is None) == (settings["high"] == 255)
    task.save(task.learner(prepared).load_model(), tmp_path / "saved", prepared)
    with quiet():
        pipeline = transformers.pipeline("image-classification", str(tmp_path / "saved"), device="cpu")
    files = sorted((images / "cat").iterdir()) + sorted((images / "dog").iterdir())
    theirs = [{each["label"]: each["score"] for each in pipeline((read or str)(file))}["dog"] for file in files]
    learner = task.learner(prepared)
    ours = probabilities(outputs(learner, learner.load_model()), "binary")
    assert np.abs(ours[:, 1] - theirs).max() < 1e-5
    ways = [*exported_answers(task, prepared, tmp_path / "saved")]
    assert len(ways) == 2
    assert all(np.abs(way.predictions - ours).max() < 1e-5 for way in ways)


def exported_answers(task, prepared, folder):
    """Return what the check of an export asks for."""
    return task.exported_answers(folder, prepared, {}, split="train", rows=ROWS, device=torch.device("cpu"))


def test_test_images_are_scaled_as_training_images_are(vit_folder, tmp_path):
    train = save_deep_folder(tmp_path / "train", 4095)
    test = save_deep_folder(tmp_path / "test", 8190)
    task = ImageClassification(vit_folder, train=train, test=test)
    prepared = task.prepare(tmp_path / "cache")
    tested = open_dataset(prepared.test_folder)
    assert tested.facts["ranges"] == {"whole": [0, 4095]}
    assert (tested["pixels"] == 255).mean() == pytest.approx(0.5, abs=0.02)
    assert any("8 test images have pixels outside of 0 to 4095" in warning for warning in prepared.warnings)
    wider = save_deep_folder(tmp_path / "wider", 5000)
    other = ImageClassification(vit_folder, train=wider, test=test).prepare(tmp_path / "cache")
    assert other.test_digest != prepared.test_digest


def test_ranges_are_measured_once_and_earlier_digests_stay(vit_folder, tmp_path, monkeypatch):
    """Whole 16 bits and floats from 0 to 1 were scaled so before ranges were measured, and plain images by none."""
    task = ImageClassification(vit_folder, train=save_deep_folder(tmp_path / "train", 65535))
    first = task.prepare(tmp_path / "cache")
    monkeypatch.setattr("hpsearch.data.images.ImageRows.measured", None)  # must not be needed again
    assert task.prepare(tmp_path / "cache") == first
    monkeypatch.undo()
    for high, dtype, is_earlier in ((65535, np.uint16, True), (1, np.float32, True), (4095, np.uint16, False)):
        rows = read_images(save_deep_folder(tmp_path / f"{high} {is_earlier}", high, dtype=dtype))
        assert ("ranges" not in PixelEncoder(str(vit_folder), None, rows).settings()) == is_earlier
    plain = PixelEncoder(str(vit_folder), None, read_images(save_image_folder(tmp_path / "plain")))
    assert "ranges" not in {**plain.settings(), **plain.versions()}


def test_a_card_of_a_grey_model_reads_files_in_grey(tmp_path):
    folder = save_base("vit", tmp_path / "model", num_channels=1)
    images = save_image_folder(tmp_path / "images", size=(16, 16))
    task = ImageClassification(folder, train=images)
    prepared = task.prepare(tmp_path / "cache")
    read = read_as_the_card_says(task, prepared)
    files = sorted((images / "cat").iterdir()) + sorted((images / "dog").iterdir())
    assert np.array_equal(np.stack([read(file) for file in files]), open_dataset(prepared.folder)["pixels"])
    learner = task.learner(prepared)
    task.save(learner.load_model(), tmp_path / "saved", prepared)
    ours = probabilities(outputs(learner, learner.load_model()), "binary")
    ways = [*exported_answers(task, prepared, tmp_path / "saved")]
    assert all(np.abs(way.predictions - ours).max() < 1e-5 for way in ways)


def test_a_card_of_a_regression_of_deep_images(vit_folder, tmp_path):
    images = save_deep_folder(tmp_path / "images", 4095)
    files = sorted(images.rglob("*.png"))
    table = pd.DataFrame({"file": list(map(str, files)), "age": np.arange(8.0)})
    task = ImageRegression(vit_folder, train=table, image="file", label="age")
    prepared = task.prepare(tmp_path / "cache")
    read = read_as_the_card_says(task, prepared)
    pixels = np.stack([np.moveaxis(np.asarray(read(file)), -1, 0) for file in files])
    assert np.array_equal(pixels, open_dataset(prepared.folder)["pixels"])
    assert "predict([read(path) for path in paths]" in task.how_to_call(prepared)


def test_what_is_left_out_of_a_folder_is_said_however_often_it_is_prepared(vit_folder, tmp_path):
    images = save_image_folder(tmp_path / "images")
    task = ImageClassification(vit_folder, train=images)
    first = task.prepare(tmp_path / "cache")
    assert not any("left out" in warning for warning in first.warnings)
    (images / "cat" / "notes.txt").write_text("no image")
    second = task.prepare(tmp_path / "cache")
    assert (second.folder, second.data_digest) == (first.folder, first.data_digest)
    assert any("1 file of the train folder is no image" in warning for warning in second.warnings)


def test_paths_without_suffix_and_of_digits_and_classes_of_a_table(vit_folder, tmp_path):
    images = save_image_folder(tmp_path / "images", size=(16, 16))
    files = sorted(images.rglob("*.png"))
    for number, file in enumerate(files):
        file.rename(tmp_path / f"{number:03}")
    lines = [f"{number:03},{('01', '1')[number % 2]}" for number in range(8)]
    (tmp_path / "rows.csv").write_text("\n".join(["path,kind", *lines]))
    prepared = ImageClassification(vit_folder, train=tmp_path / "rows.csv", image="path", label="kind").prepare(
        tmp_path
    )
    assert (prepared.judge.classes, prepared.rows) == (("01", "1"), 8)


def test_a_damaged_range_is_measured_again(vit_folder, tmp_path):
    images = save_deep_folder(tmp_path / "images", 4096)
    task = ImageClassification(vit_folder, train=images)
    first = task.prepare(tmp_path / "cache")
    (ranges,) = (tmp_path / "cache").glob("ranges-*")
    facts = ranges / "facts.json"
    facts.write_text(facts.read_text().replace("whole", "float"))
    assert task.prepare(tmp_path / "cache").data_digest == first.data_digest
