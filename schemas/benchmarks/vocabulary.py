"""The closed vocabularies of the registry: kinds of benchmark, protocols, metrics, layouts."""

from enum import StrEnum


class Word(StrEnum):
    """A word of a closed vocabulary, with one line that explains it."""

    explanation: str

    def __new__(cls, word: str, explanation: str = "") -> "Word":
        member = str.__new__(cls, word)
        member._value_ = word
        member.explanation = explanation
        return member

    @classmethod
    def markdown(cls) -> str:
        """The vocabulary as a Markdown table."""
        rows = [f"| `{word}` | {word.explanation} |" for word in cls]
        return "\n".join(["| word | meaning |", "|---|---|", *rows])


class Category(Word):
    """What the images show, or what they are for."""

    OBJECT = "object", "Everyday objects, one label an image."
    SCENE = "scene", "Places and scenes."
    FINE_GRAINED = "fine-grained", "Species, breeds, makes, dishes."
    TEXTURE = "texture", "Materials and textures."
    SATELLITE = "satellite", "The earth from above."
    MEDICAL = "medical", "Histology, microscopy, retina."
    SYNTHETIC = "synthetic", "Structured: rendered images with exact labels."
    CHARACTERS = "characters", "Digits, letters and rendered text."
    ACTION = "action", "Video frames that show human actions."
    DRIVING = "driving", "Seen from a car: signs, vehicles, streets."
    FACE = "face", "Faces and their expressions."
    SHIFT = "shift", "Robustness: test sets that differ from the training set on purpose."
    GEOGRAPHY = "geography", "Where in the world a photograph was taken."
    FAIRNESS = "fairness", "Whether all people and places are served alike."
    RETRIEVAL = "retrieval", "Find the same instance, landmark or artwork."
    COPY_DETECTION = "copy-detection", "Find edited copies of an image."
    HATE_SPEECH = "hate-speech", "Harm: memes, images with text that may offend."
    STYLE = "style", "The style or the artist of a work of art."
    HASHTAG = "hashtag", "Images of one concept under its words in several languages."
    SEGMENTATION = "segmentation", "A label for each pixel."
    DETECTION = "detection", "Boxes around objects."
    DEPTH = "depth", "A distance for each pixel."
    MULTIMODAL = "multimodal", "Images with sentences."


class Task(Word):
    """What is asked of an image."""

    SINGLE_LABEL = "single_label", "Its one class."
    MULTI_LABEL = "multi_label", "All classes that it shows, or one of several right ones."
    ORDINAL = "ordinal", "A class of an ordered scale: a count, a distance, a grade."
    RETRIEVAL = "retrieval", "Which others show the same."
    COPY_DETECTION = "copy_detection", "Which image it was made of."
    GEOLOCATION = "geolocation", "Where it was taken."
    GROUP_AUDIT = "group_audit", "Whether what is said of it depends on whom it shows."
    EMBEDDING = "embedding", "Whether it lies near those of the same meaning."
    PIXELS = "pixels", "A value for each pixel."
    BOXES = "boxes", "The boxes of its objects."
    SENTENCES = "sentences", "Which sentence describes it."


class Protocol(Word):
    """How a model is evaluated; each is a file of `train_entry/evaluation`."""

    LINEAR_PROBE = "linear_probe", "A linear classifier on frozen features."
    LOW_SHOT = "low_shot", "A linear classifier on frozen features of few labelled images."
    FINE_TUNE = "fine_tune", "All weights are trained on."
    SVM = "svm", "One linear support vector machine a class, on frozen features."
    NEAREST_NEIGHBORS = "nearest_neighbors", "A vote of the nearest training images, no training."
    SHIFT = (
        "shift",
        "A model of ImageNet-1k classes is tested as it is, with a class mask if need be.",
    )
    GEOLOCATION = (
        "geolocation",
        "The cell of the earth is predicted, the mean of its images is the place.",
    )
    COPY_DETECTION = "copy_detection", "Each query looks for its original among distractors."
    HATEFUL_MEMES = "hateful_memes", "A classifier on features of the image and of its text."
    FAIRNESS_LABELS = "fairness_labels", "Which labels are given to which group of people."
    HOUSEHOLD_LABELS = "household_labels", "Hits by income and region of a household."
    ATTRIBUTE_RETRIEVAL = "attribute_retrieval", "Do the nearest images share an attribute?"
    RETRIEVAL = "retrieval", "Rank a database of images for each query."
    STYLE_RETRIEVAL = "style_retrieval", "Do the nearest works share a style, or the artist?"
    HASHTAG_EMBEDDING = (
        "hashtag_embedding",
        "Do images of a concept lie together whatever the language of its hashtag?",
    )


class Metric(Word):
    """What an evaluation reports first."""

    TOP1 = "top1", "Share of images whose first label is right."
    TOP1_MULTI_LABEL = "top1_multi_label", "Share of images whose first label is one of the right."
    MEAN_PER_CLASS = "mean_per_class", "Mean of the accuracies of the classes."
    WORST_GROUP = "worst_group", "Accuracy of the group that is served worst."
    MACRO_F1 = "macro_f1", "Mean of the F1 scores of the classes."
    MAP = "map", "Mean average precision over classes or queries."
    BOX_MAP = "box_map", "Average precision of boxes, mean over overlaps 0.50 to 0.95."
    MICRO_AP = "micro_ap", "Average precision over all query pairs in one ranking."
    MAP_AT_K = "map_at_k", "Mean average precision of the first K."
    GAP = "gap", "Global average precision of ranked labels, over all queries at once."
    MEAN_CORRUPTION_ERROR = "mean_corruption_error", "Error over corruptions and severities."
    ROC_AUC = "roc_auc", "Area under the receiver operating characteristic."
    MEAN_IOU = "mean_iou", "Mean over classes of intersection over union."
    RMSE = "rmse", "Root mean square error."
    QUADRATIC_KAPPA = (
        "quadratic_kappa",
        "Agreement on ordered grades, weighted by squared distance.",
    )
    WITHIN_KM = "within_km", "Share within 1, 25, 200, 750 and 2500 km."
    HIT_RATE = "hit_rate", "Share of images with a right label among the first five."
    LABEL_RATE = "label_rate", "Share of each group's images that get a label."
    PRECISION_AT_K = "precision_at_k", "Share of right images among the first K."
    RECALL_AT_1 = "recall_at_1", "Share of queries whose first answer is right."
    GROUP_SCORE = "group_score", "Share of groups with all image-sentence pairs matched."


class LayoutKind(Word):
    """How images lie on disk."""

    FOLDER = "folder", "Image files: in a folder at any depth, matched by a glob, or in a list."
    TAR = "tar", "Image files in tar files, WebDataset or plain."
    PARQUET = "parquet", "Image bytes in a column, as Hugging Face stores them."
    ARROW = "arrow", "The same in Arrow files: this project's shards, or what `datasets` saves."
