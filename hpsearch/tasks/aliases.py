"""Names that people write for hyperparameters, and what they are called here."""

ADAPTER_PREFIX = "lora_"
"""What the names of LoRA's hyperparameters begin with, which tasks over models of transformers have."""

ALIASES = {
    "lr": "learning_rate",
    "bs": "batch_size",
    "n_epochs": "epochs",
    "num_train_epochs": "epochs",
    "wd": "weight_decay",
    "optim": "optimizer",
    "momentum": "sgd_momentum",
    "rank": "lora_r",
    "lora_rank": "lora_r",
    "target_modules": "lora_target_modules",
    "use_rslora": "lora_variant",
    "use_dora": "lora_variant",
}
"""Short names of hyperparameters that people write, and what they are called here; errors suggest it."""
