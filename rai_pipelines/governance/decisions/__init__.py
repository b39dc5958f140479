"""What people decided, signed: approvals, rejections, waivers, reviews. How they are written, verified and kept; what follows is gate/'s."""
