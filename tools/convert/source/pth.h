// Checkpoints of torch.save: a zip archive whose members are stored as they are, data.pkl (a pickle of a flat dictionary from names
// to tensors) and one member a storage. Nothing of the pickle is executed: only what such a dictionary needs is understood.
#pragma once
#include "convert/source/stored.h"

namespace edgellm::convert {

// Whether the bytes begin as a zip archive does.
bool is_zip(Bytes head);

// Throws when the archive is damaged or compressed, or the pickle holds anything but named tensors in row-major order.
StoredTensors read_pth(const std::string& path);

}  // namespace edgellm::convert
