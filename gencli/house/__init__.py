"""What the house holds: models, picture sets, and what can be said of itself."""

from __future__ import annotations

ABOUT = {
    "models": "The models you trained, and the networks of others.",
    "data": "Picture sets to train with.",
    "info": "Versions, devices, folders, and what is built in.",
}
