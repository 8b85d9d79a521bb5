#pragma once

// The one place that says which release this is.
#define EDGELLM_VERSION "0.1.0"
