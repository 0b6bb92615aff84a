"""optcore's own speed, tracked across commits. Figures are ratios to a peer, measured side by side in one run."""
