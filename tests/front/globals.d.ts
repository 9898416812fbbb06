// What the text of a view finds in place when the browser runs it.
import UPlot from "uplot";

declare global {
  /** The vendored library stands before the view's own text, and defines this one name. */
  const uPlot: typeof UPlot;
  type uPlot = UPlot;
  namespace uPlot {
    type AlignedData = UPlot.AlignedData;
    type Axis = UPlot.Axis;
    type Cursor = UPlot.Cursor;
    type Hooks = UPlot.Hooks.Arrays;
    type Options = UPlot.Options;
    type Plugin = UPlot.Plugin;
    type Scale = UPlot.Scale;
    type Series = UPlot.Series;
  }
}
