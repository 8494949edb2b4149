"""From bytes to what they are: `decode` in killable processes, which `sandbox` keeps."""
